package mysql

import (
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// userLimit is the error of a user's limit: of connections, or of queries in an
// hour. Its message names the one.
const userLimit = 1226

// failures tells whose failure an error of a query is. Those that are not here
// are the statement's or a row's. Errors while connecting are the server's,
// except for the limits.
var failures = map[uint16]validator.Failure{
	1040: validator.LimitFailure, // too many connections
	1135: validator.LimitFailure, // no thread for another connection
	1203: validator.LimitFailure, // too many connections of the user
	1226: validator.LimitFailure, // the user's limit

	1037: validator.ServerFailure, // out of memory
	1041: validator.ServerFailure, // out of memory
	1047: validator.ServerFailure, // a node of a cluster that is not ready
	1053: validator.ServerFailure, // shutting down
	1077: validator.ServerFailure, // shutting down
	1079: validator.ServerFailure, // shut down
	1080: validator.ServerFailure, // a thread is being ended
	1152: validator.ServerFailure, // connection aborted
	1158: validator.ServerFailure, // network, here and below
	1159: validator.ServerFailure,
	1160: validator.ServerFailure,
	1161: validator.ServerFailure,
	1184: validator.ServerFailure, // connection aborted
	1290: validator.ServerFailure, // the server is read-only, as a former primary is
	1820: validator.ServerFailure, // the account's password has expired
	1836: validator.ServerFailure, // read-only, by its administrator
	1862: validator.ServerFailure,
	1927: validator.ServerFailure, // connection killed
	1969: validator.ServerFailure, // max_statement_time is over: no answer in time
	2002: validator.ServerFailure, // from a proxy: its server cannot be reached, here and below
	2003: validator.ServerFailure,
	2006: validator.ServerFailure,
	2013: validator.ServerFailure,
	3024: validator.ServerFailure, // max_execution_time is over
	3032: validator.ServerFailure, // offline mode
	3169: validator.ServerFailure, // session killed
	4031: validator.ServerFailure, // disconnected for inactivity
	9001: validator.ServerFailure, // from a proxy: no server in time

	1016: validator.TableFailure, // a table cannot be opened, is broken or incomplete, here and below
	1017: validator.TableFailure,
	1033: validator.TableFailure,
	1034: validator.TableFailure,
	1035: validator.TableFailure,
	1127: validator.TableFailure,
	1194: validator.TableFailure,
	1195: validator.TableFailure,
	1356: validator.TableFailure, // a view whose tables, columns or rights are gone
	1449: validator.TableFailure, // a view whose definer is gone
	1712: validator.TableFailure,
	1812: validator.TableFailure,
	1814: validator.TableFailure,
	1877: validator.TableFailure,
	1932: validator.TableFailure,

	unknownColumn: validator.TableFailure,
	tableDenied:   validator.TableFailure,
	columnDenied:  validator.TableFailure,
	noSuchTable:   validator.TableFailure,
}

// isProtocol reports whether the driver could not read what the server sent, or
// has lost it.
func isProtocol(err error) bool {
	for _, lost := range []error{mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// Errors of a statement that another row or transaction stands in the way of.
const (
	duplicateEntry    = 1062
	lockWaitTimeout   = 1205
	deadlock          = 1213
	recordHasChanged  = 1020 // MariaDB, with innodb_snapshot_isolation
	transactionFailed = 3101 // MySQL's group replication, at COMMIT
)

func (driver) Conflict(err error) store.Conflict {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return store.NoConflict
	}
	switch e.Number {
	case duplicateEntry:
		return store.DuplicateRow
	case lockWaitTimeout, deadlock, recordHasChanged, transactionFailed:
		return store.LostRace
	}
	return store.NoConflict
}
