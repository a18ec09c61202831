"""Asks for a request token as mwoauth does: reads JSON from standard input, writes the token to standard output."""

import json
import sys

import mwoauth

given = json.load(sys.stdin)
consumer = mwoauth.ConsumerToken(given["consumer_key"], given["consumer_secret"])
try:
    _, token = mwoauth.initiate(given["url"] + "/w/index.php", consumer)
    done = {"token": token.key, "secret": token.secret}
except mwoauth.OAuthException as e:
    done = {"error": str(e)}
json.dump(done, sys.stdout)
