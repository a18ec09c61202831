"""The whole handshake as mwoauth does it. A line of JSON comes in; the address
of the consent page goes out; the address that the browser was sent to comes in;
what the client has learned goes out."""

import json
import sys

import mwoauth

given = json.loads(sys.stdin.readline())
handshaker = mwoauth.Handshaker(
    given["url"] + "/w/index.php",
    mwoauth.ConsumerToken(given["key"], given["secret"]),
    callback=given["callback"],
)
redirect, request_token = handshaker.initiate()
print(json.dumps({"open": redirect}), flush=True)
location = json.loads(sys.stdin.readline())["location"]
access_token = handshaker.complete(request_token, location.split("?", 1)[1])
identity = handshaker.identify(access_token)
print(json.dumps({
    "token": access_token.key, "token_secret": access_token.secret,
    "user": identity["username"], "sub": identity["sub"],
}))
