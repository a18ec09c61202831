"""Sends requests signed by requests-oauthlib: reads JSON from standard input, writes the answers to standard output."""

import json
import sys

import requests
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, SIGNATURE_RSA_SHA1
from requests_oauthlib import OAuth1

given = json.load(sys.stdin)


def auth(**options):
    return OAuth1(
        given["consumer_key"],
        given["consumer_secret"],
        given["token"],
        given["token_secret"],
        signature_method=SIGNATURE_RSA_SHA1 if given["rsa_key"] else SIGNATURE_HMAC_SHA1,
        rsa_key=given["rsa_key"] or None,
        **options,
    )


answers = []
with requests.Session() as session:
    for case in given["requests"]:
        request = requests.Request(case["method"], given["url"] + case["path"], params=case.get("query"))
        if "form" in case:
            request.data = case["form"]
        elif "json" in case:
            request.data = case["json"].encode()
            request.headers["Content-Type"] = "application/json"
        # oauthlib adds oauth_body_hash to what is no form, but only when it is handed the body.
        request.auth = auth(force_include_body=case.get("body_hash", False))
        prepared = session.prepare_request(request)
        if "swapped" in case:
            prepared.prepare_body(case["swapped"].encode(), None)
        answer = session.send(prepared, timeout=30)
        answers.append({"status": answer.status_code, "headers": dict(answer.headers), "body": answer.text})
json.dump(answers, sys.stdout)
