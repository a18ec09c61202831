// Package cli is the command `caddy oauth` with its subcommands.
package cli

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "oauth",
		Short: "Tools for the oauth directive and for those who sign requests to it",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(newSignCommand(), newDemoCommand())
		},
	})
}
