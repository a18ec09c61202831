// Sends requests signed by oauth-1.0a: reads JSON from standard input, writes the answers to standard output.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const OAuth = require('oauth-1.0a');

const input = JSON.parse(fs.readFileSync(0, 'utf8'));
const sha1 = (body) => crypto.createHash('sha1').update(body).digest('base64');
const oauth = OAuth({
	consumer: { key: input.consumer_key, secret: input.consumer_secret },
	signature_method: input.rsa_key ? 'RSA-SHA1' : 'HMAC-SHA1',
	hash_function: input.rsa_key
		? (text) => crypto.createSign('RSA-SHA1').update(text).sign(input.rsa_key, 'base64')
		: (text, key) => crypto.createHmac('sha1', key).update(text).digest('base64'),
	body_hash_function: sha1,
});
const token = { key: input.token, secret: input.token_secret };

// It percent-encodes the names in a query once more, and reads a + there as one.
const query = (pairs) => pairs.map(([name, value]) => name + '=' + encodeURIComponent(value)).join('&');

// A name with several values is a list.
const data = (pairs) => {
	const form = {};
	for (const [name, value] of pairs) {
		form[name] = name in form ? [form[name], value].flat() : value;
	}
	return form;
};

async function send(request) {
	const url = input.url + request.path + (request.query ? '?' + query(request.query) : '');
	const signed = { method: request.method, url };
	const headers = {};
	let body;
	if (request.form) {
		signed.data = data(request.form);
		body = new URLSearchParams(request.form).toString();
		headers['Content-Type'] = 'application/x-www-form-urlencoded';
	} else if (request.json) {
		body = request.json;
		headers['Content-Type'] = 'application/json';
		if (request.body_hash) {
			signed.data = body;
			signed.includeBodyHash = true;
		}
	}
	Object.assign(headers, oauth.toHeader(oauth.authorize(signed, token)));
	const response = await fetch(url, { method: request.method, headers, body: request.swapped || body });
	return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
}

(async () => {
	const answers = [];
	for (const request of input.requests) {
		answers.push(await send(request));
	}
	process.stdout.write(JSON.stringify(answers));
})();
