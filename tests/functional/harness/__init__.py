# SPDX-License-Identifier: MIT
"""What the functional tests are written with: daemons, links between them, and traffic.

daemon.py   starts, watches and stops programs under test
net.py      free ports, TCP and UDP upstreams, the application's end of a flow
link.py     a server, a client and mappings between two addresses
pki.py      certificates for the tests, made by openssl
"""
