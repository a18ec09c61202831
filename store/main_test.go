package store_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
)

func TestMain(m *testing.M) { process.Main(m) }

func TestConformance(t *testing.T) { storetest.Run(t, nil) }

func TestFailureClasses(t *testing.T) { storetest.Failures(t) }
