// Package wikipath finds the pages and endpoints of MediaWiki's OAuth extension
// among the requests for a wiki: the special page Special:OAuth with its
// subpages, and rest.php/oauth2/.
//
// The extension judges the credentials of these requests by itself, so a
// gateway may leave them to the wiki. The package therefore errs on one side: a
// request that MediaWiki, the web server before it, or another backend could
// take for something else is not found. It knows how MediaWiki reads a title,
// and which other parameters of index.php replace the page that a title names.
package wikipath
