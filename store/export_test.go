package store

import (
	"strconv"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Statement is what s asks of a server.
func Statement(s *Store, key validator.Key) (string, []any) {
	consumer, token, args := s.pool.driver.Values(key.Consumer, key.Token)
	text := s.oauth1
	if key.Protocol == validator.OAuth2 {
		text = s.oauth2
		if key.Subject != 0 {
			text = s.subject
		}
	}
	return text.fill(consumer, token, strconv.FormatUint(key.Subject, 10)), args
}

// SetClock lets a test say what time it is for the servers' rests.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }
