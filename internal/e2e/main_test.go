package e2e_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	release139 = validator.Release139
	release147 = validator.Release147
)

func TestMain(m *testing.M) { harness.Main(m) }

// mariadbCounters are what the database has been asked so far.
func mariadbCounters(t *testing.T) mariadb.Counters { return mariadb.Start(t).Counters(t) }
