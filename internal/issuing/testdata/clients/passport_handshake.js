// The whole handshake as passport-mediawiki-oauth does it: see
// mwoauth_handshake.py.
'use strict';

const readline = require('node:readline');
const { OAuthStrategy } = require('passport-mediawiki-oauth');

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const ask = (call) => new Promise((resolve, reject) => {
	call((error, ...values) => (error ? reject(new Error(JSON.stringify(error))) : resolve(values)));
});

(async () => {
	const given = await read();
	const strategy = new OAuthStrategy({
		baseURL: given.url + '/', consumerKey: given.key, consumerSecret: given.secret, callbackURL: 'oob',
	}, () => {});
	const [token, secret] = await ask((done) => strategy._oauth.getOAuthRequestToken(strategy.requestTokenParams({}), done));
	const query = new URLSearchParams({ oauth_token: token, ...strategy.userAuthorizationParams({}) });
	tell({ open: strategy._userAuthorizationURL + '?' + query });
	const verifier = new URL((await read()).location).searchParams.get('oauth_verifier');
	const [access, accessSecret] = await ask((done) => strategy._oauth.getOAuthAccessToken(token, secret, verifier, done));
	const [profile] = await ask((done) => strategy.userProfile(access, accessSecret, {}, done));
	tell({ token: access, token_secret: accessSecret, user: profile.displayName, sub: profile.id });
	process.exit(0);
})().catch((error) => {
	process.stderr.write(String(error && error.stack) + '\n');
	process.exit(1);
});
