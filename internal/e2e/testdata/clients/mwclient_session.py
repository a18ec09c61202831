"""Lets mwclient work on a wiki: reads JSON from standard input, writes what it did to standard output."""

import io
import json
import logging
import sys

import mwclient
from oauthlib.oauth1 import SIGNATURE_RSA_SHA1, rfc5849
from requests_oauthlib import OAuth1

given = json.load(sys.stdin)
done = {"warnings": []}


class Warnings(logging.Handler):
    def emit(self, record):
        done["warnings"].append(record.getMessage())


logging.getLogger("mwclient").addHandler(Warnings(logging.WARNING))


class Nonces:
    """Repeats its last nonce once, when told to: what a proxy does that sends a request again."""

    def __init__(self):
        self.generate = rfc5849.generate_nonce
        self.last = None
        self.repeat = False

    def __call__(self):
        if not self.repeat or self.last is None:
            self.last = self.generate()
        self.repeat = False
        return self.last


nonces = Nonces()
rfc5849.generate_nonce = nonces


def site():
    tokens = [given[name] for name in ("consumer_key", "consumer_secret", "token", "token_secret")]
    if given["rsa_key"]:
        how = {"httpauth": OAuth1(*tokens, signature_method=SIGNATURE_RSA_SHA1, rsa_key=given["rsa_key"])}
    else:
        how = dict(zip(("consumer_token", "consumer_secret", "access_token", "access_secret"), tokens))
    return mwclient.Site(given["host"], scheme="http", retry_timeout=0, max_retries=3, **how)


def step(name, action):
    nonces.repeat = name in given["repeat"]
    return action()


try:
    step("first", site)
    wiki = step("site", site)
    page = step("page", lambda: wiki.pages[given["title"]])
    page.get_token("edit")
    done["edit"] = step("edit", lambda: page.edit(given["text"], summary=given["summary"]))["result"]
    upload = step("upload", lambda: wiki.upload(io.BytesIO(given["text"].encode()), given["title"], given["summary"]))
    done["upload"] = upload["result"]
    done["user"] = wiki.username
except mwclient.errors.MwClientError as e:
    done["error"] = [type(e).__name__, getattr(e, "code", None) or e.args[1]["result"]]
json.dump(done, sys.stdout)
