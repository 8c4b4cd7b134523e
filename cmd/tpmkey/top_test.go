package main

import (
	"testing"
	"time"

	"tpmkey.example/internal/control"
)

// What a row says from the start of the service, and of a second.
func TestUsageRow(t *testing.T) {
	before := control.UserUse{UID: 4294967000, Clients: 1, Commands: 10, Denied: 1, Waited: time.Second, Ran: 2 * time.Second}
	now := control.UserUse{UID: 4294967000, Clients: 3, Queue: 2, Commands: 20, Denied: 4, Waited: time.Second + 50*time.Microsecond, Ran: 2*time.Second + 250*time.Millisecond}
	for _, row := range []struct {
		before control.UserUse
		since  time.Duration
		want   string
	}{
		{control.UserUse{}, 0, "4294967000\t3\t2\t20\t2.25s\t50.003ms\t4"},
		{before, time.Second, "4294967000\t3\t2\t10\t25 %\t5µs\t3"},
		{now, time.Second, "4294967000\t3\t2\t0\t0 %\t0s\t0"},
	} {
		if got := usageRow(now, row.before, row.since); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
