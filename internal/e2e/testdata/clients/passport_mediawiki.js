// Asks for a request token as passport-mediawiki-oauth does: reads JSON from standard input, writes the token, or the
// error, to standard output.
'use strict';

const fs = require('node:fs');
const { OAuthStrategy } = require('passport-mediawiki-oauth');

const input = JSON.parse(fs.readFileSync(0, 'utf8'));
const strategy = new OAuthStrategy({
	baseURL: input.url + '/',
	consumerKey: input.consumer_key,
	consumerSecret: input.consumer_secret,
	callbackURL: 'oob',
}, () => {});

strategy._oauth.getOAuthRequestToken(strategy.requestTokenParams({}), (error, token, secret) => {
	process.stdout.write(JSON.stringify(error ? { error: JSON.stringify(error) } : { token, secret }));
});
