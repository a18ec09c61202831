package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// refuse answers a request that does not pass, or leaves the answer to handle_errors.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, reason validator.Reason) error {
	h.challenges.Set(w.Header(), reason)
	if !h.answerProblem {
		// Caddy logs the error of a 5xx with its text, and puts it into placeholders.
		return caddyhttp.Error(reason.Status(), errors.New(reason.String()))
	}
	validator.WriteProblem(w, r, reason)
	return nil
}
