package e2e_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
