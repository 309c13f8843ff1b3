vcl 4.1;
# Varnish as a cache of model files: https://varnish-cache.org/docs/7.1/users-guide/ (streaming is its default: a
# herd follows the one fetch; a range of a file that is not cached waits for the bytes before it).
backend hub { .host = "{{ hub_host }}"; .port = "{{ hub_port }}"; .host_header = "{{ hub }}"; }
backend cdn { .host = "{{ cdn_host }}"; .port = "{{ cdn_port }}"; .host_header = "{{ cdn }}"; }
backend site { .host = "{{ site_host }}"; .port = "{{ site_port }}"; .host_header = "{{ site }}"; }

sub vcl_recv {
    unset req.http.Cookie;
    if (req.url ~ "^/xet-bridge-us/") {
        set req.backend_hint = cdn;
    } else if (req.url ~ "^/site/") {
        set req.backend_hint = site;
    } else {
        set req.backend_hint = hub;
    }
    return (hash);
}

sub vcl_backend_response {
    unset beresp.http.Set-Cookie;
    unset beresp.http.Vary;
    if (beresp.status == 200) {
        set beresp.uncacheable = false;
        set beresp.ttl = 1d;
        set beresp.grace = 1d;
    }
    return (deliver);
}
