package postgres

import (
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// credential returns the user to run the server as; nil: this process's own.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(superuser)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w: %s", err, install)
	}
	var ids [2]uint32
	for i, text := range []string{u.Uid, u.Gid} {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil || id > math.MaxUint32 {
			return nil, fmt.Errorf("user %s: id %q", superuser, text)
		}
		ids[i] = uint32(id)
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1]}, nil
}
