"""Both flows as requests-oauthlib does them: see mwoauth_handshake.py."""

import json
import os
import sys

from requests_oauthlib import OAuth1Session, OAuth2Session

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
given = json.loads(sys.stdin.readline())


def browse(address):
    print(json.dumps({"open": address}), flush=True)
    return json.loads(sys.stdin.readline())["location"]


if given["flow"] == "oauth1":
    session = OAuth1Session(given["key"], client_secret=given["secret"], callback_uri=given["callback"])
    session.fetch_request_token(given["url"] + "/oauth/initiate")
    session.parse_authorization_response(browse(session.authorization_url(given["url"] + "/oauth/authorize")))
    token = session.fetch_access_token(given["url"] + "/oauth/token")
    done = {"token": token["oauth_token"], "token_secret": token["oauth_token_secret"]}
else:
    session = OAuth2Session(given["key"], redirect_uri=given["callback"])
    address, _ = session.authorization_url(given["url"] + "/oauth2/authorize")
    token = session.fetch_token(
        given["url"] + "/oauth2/access_token", authorization_response=browse(address), client_secret=given["secret"],
    )
    fresh = session.refresh_token(
        given["url"] + "/oauth2/access_token", client_id=given["key"], client_secret=given["secret"],
    )
    done = {"bearer": fresh["access_token"], "before": token["access_token"]}
print(json.dumps(done))
