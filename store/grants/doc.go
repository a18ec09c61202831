// Package grants writes what users allow apps, and the rows of access tokens: it
// implements authserver.Tables with an account of its own, on the primary. Every
// method that writes is one transaction, so that what fails has changed nothing.
//
// The one exception is a connection that is lost while it commits. It is not known
// then whether the tables were changed, and the error is like that of a server
// that does not answer. A client that tries again may see:
//
//   - after a consent: the same consent, because a second one changes no more;
//   - after the exchange of a code: "used", and the token that nobody was told of
//     is revoked with its family;
//   - after a refresh: "revoked", unless the issuer has a refresh_grace, in which
//     the same successor is answered;
//   - after a withdrawal: that there is nothing to withdraw.
package grants
