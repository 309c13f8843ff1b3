"""A run as one HTML file that opens anywhere, without a network.

`plots` turns a record into curves and `tables` into rows, both pure; `page` puts them into a template together with
uPlot, which npm installs beside it (`assets`). Nothing in a record can become markup or script: the template escapes,
and the page's own policy lets only the two scripts run that were written into it.
"""
