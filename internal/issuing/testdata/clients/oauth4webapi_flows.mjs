// OAuth 2 as oauth4webapi does it, with no leniency but http: see
// mwoauth_handshake.py.
import { webcrypto } from 'node:crypto';
import * as readline from 'node:readline';
import * as oauth from 'oauth4webapi';

globalThis.crypto ??= webcrypto; // browsers have it, and Node from 19 on

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const insecure = { [oauth.allowInsecureRequests]: true };

const given = await read();
const server = {
	issuer: given.url,
	authorization_endpoint: given.url + '/oauth2/authorize',
	token_endpoint: given.url + '/oauth2/access_token',
	authorization_response_iss_parameter_supported: true,
};
const client = { client_id: given.key };
const authentication = {
	basic: () => oauth.ClientSecretBasic(given.secret),
	post: () => oauth.ClientSecretPost(given.secret),
	none: () => oauth.None(),
}[given.authentication]();

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const address = new URL(server.authorization_endpoint);
address.search = new URLSearchParams({
	client_id: client.client_id, response_type: 'code', redirect_uri: given.callback, state, scope: 'basic editpage',
	code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
});
tell({ open: address.href });
const parameters = oauth.validateAuthResponse(server, client, new URL((await read()).location), state);
const first = await oauth.processAuthorizationCodeResponse(server, client,
	await oauth.authorizationCodeGrantRequest(server, client, authentication, parameters, given.callback, verifier, insecure));
const fresh = await oauth.processRefreshTokenResponse(server, client,
	await oauth.refreshTokenGrantRequest(server, client, authentication, first.refresh_token, insecure));
const done = { bearer: fresh.access_token, before: first.access_token };
if (given.authentication !== 'none') {
	const own = await oauth.processClientCredentialsResponse(server, client,
		await oauth.clientCredentialsGrantRequest(server, client, authentication, {}, insecure));
	done.own = own.access_token;
}
tell(done);
process.exit(0);
