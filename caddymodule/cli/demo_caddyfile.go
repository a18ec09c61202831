package cli

import (
	"net"
	"strings"
)

// demoCaddyfile is the configuration of the demonstration. Its sign-in is its own:
// a link puts name and password of a user into a cookie, from which they reach
// basic_auth as if the user had typed them.
const demoCaddyfile = `{
	admin off
	auto_https off
	persist_config off
	storage file_system {dir}/caddy
	log {
		include http.handlers.oauth http.handlers.oauth_server
	}
	oauth {
		store sqlite {dir}/wiki.sqlite
		wiki {wiki}
		mediawiki {release}
		secret_key {file.{dir}/site_key}
		public_key {dir}/oauth2.pem
		base_url http://{address}
	}
}

http://{address} {
	bind {host}
	route {
		# The link that was printed signs a user in, and opens a page of oauth_server.
		@link path_regexp link ^/sign-in/([A-Za-z0-9]+)(/oauth2?/[a-z]+)$
		header @link {
			Set-Cookie "demo_sign_in={re.link.1}; Path=/; HttpOnly; SameSite=Lax"
			Cache-Control no-store
			Referrer-Policy no-referrer
		}
		redir @link {re.link.2}?{query} 303

		# The apps have no server: this stands for their callback.
		respond /callback "The app is called back here. To go on in the shell, paste the address of this page as back='...'"

		@browser path /oauth/authorize /oauth/authenticate /oauth2/authorize /oauth2/apps
		@signed_in {
			path /oauth/authorize /oauth/authenticate /oauth2/authorize /oauth2/apps
			header Cookie *demo_sign_in=*
			not header Authorization *
		}
		request_header @signed_in Authorization "Basic {http.request.cookie.demo_sign_in}"
		basic_auth @browser {
			{user} {hash}
		}
		oauth_server {
			writer {dir}/wiki.sqlite
			private_key {dir}/oauth2_private.pem
			endpoints plain
			session caddy {
				name {http.auth.user.id}
			}
			lifetimes {
				refresh_token 30d
			}
		}
		oauth
		reverse_proxy {backend}
	}
}
`

// caddyfile is the configuration for an address to listen on, and one of the
// backend.
func (w *demoWiki) caddyfile(address, backend string) string {
	host, _, _ := net.SplitHostPort(address) // it was listened on
	values := strings.NewReplacer(
		"{file.{dir}/site_key}", "`{file."+w.path("site_key")+"}`",
		"{wiki}", demoWikiID, "{release}", demoRelease.String(), "{address}", address, "{host}", host, "{backend}", backend,
		"{user}", demoUser, "{hash}", w.issuing.hash,
	)
	lines := strings.Split(demoCaddyfile, "\n")
	for i, line := range lines {
		if before, name, found := strings.Cut(line, "{dir}/"); found && !strings.HasSuffix(before, "{file.") {
			lines[i] = before + "`" + w.path(name) + "`" // one word, whatever is in it
		}
	}
	return values.Replace(strings.Join(lines, "\n"))
}
