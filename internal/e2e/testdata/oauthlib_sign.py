"""Signs requests with oauthlib: reads a JSON list from standard input, writes one to standard output."""

import json
import sys

from oauthlib.oauth1 import Client, SIGNATURE_HMAC_SHA1, SIGNATURE_RSA_SHA1

signed = []
for case in json.load(sys.stdin):
    client = Client(
        case["consumer_key"],
        client_secret=case["consumer_secret"],
        resource_owner_key=case["token"],
        resource_owner_secret=case["token_secret"],
        signature_method=SIGNATURE_RSA_SHA1 if case["rsa_key"] else SIGNATURE_HMAC_SHA1,
        rsa_key=case["rsa_key"] or None,
        signature_type=case["signature_type"],
        realm=case["realm"] or None,
    )
    uri, headers, body = client.sign(
        case["url"],
        http_method=case["method"],
        body=case["body"] or None,
        headers={"Content-Type": case["content_type"]} if case["content_type"] else {},
    )
    signed.append({"url": uri, "headers": headers, "body": body or ""})
json.dump(signed, sys.stdout)
