package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
)

// What a client does is told to root by the control socket.
func TestUsage(t *testing.T) {
	s := serveWith(t, "")
	ask, uid := talk(t, s.path), os.Getuid()
	ask(getRandom(8))
	ask(getRandom(8))
	ask(readPCRs)
	before := time.Now()
	u, err := control.AskUsage(s.socket("control.sock"))
	if err != nil || len(u.Users) != 1 || len(u.Chips) != 1 || len(u.Commands) != 1 || len(u.Denied) != 1 || u.PID != os.Getpid() {
		t.Fatalf("%+v, %v", u, err)
	}
	if got := u.Users[0]; got.Commands != 2 || got.Denied != 1 || got.Clients != 1 || got.Queue != 0 || got.Ran <= 0 || int(got.UID) != uid {
		t.Errorf("%+v", got)
	}
	if got := u.Commands[0]; got.Name != "TPM2_GetRandom" || got.Count != 2 || got.Ran != u.Users[0].Ran {
		t.Errorf("%+v", got)
	}
	if got, want := u.Denied[0], (control.Denial{Command: "TPM2_PCR_Read", Rule: "TPM2_PCR_Read", Count: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s.lastWatched(before) == before || s.lastWatched(before.Add(time.Hour)) != before.Add(time.Hour) {
		t.Error("it leaves while somebody looks at it")
	}
}

// However many users and unknown commands come, what is counted of them has bounds; who is here is not forgotten.
func TestLedgerHasBounds(t *testing.T) {
	l := newLedger()
	l.came(7, 1)
	for i := range uint32(5 * mostUsers) {
		l.refused(1000+i, tpm2.TPMCC(0x20000000+i), filter.Decision{Rule: fmt.Sprintf("command 0x%x, which nobody has heard of", i)})
	}
	if users := l.users(); len(users) > mostUsers || users[0].UID != 7 || len(l.denied) != 1 {
		t.Errorf("%d users, the first %+v, %d denials", len(users), users[0], len(l.denied))
	}
}

// Who came and was not let in, or has asked for nothing, is nobody who uses the TPM.
func TestLedgerForgetsWhoDidNothing(t *testing.T) {
	l := newLedger()
	for _, uid := range []uint32{1, 2, 3, 4} {
		l.came(uid, 1)
	}
	l.ran(2, tpm2.TPMCCGetRandom, 0, 0)
	l.refused(3, tpm2.TPMCCClear, filter.Decision{})
	for _, uid := range []uint32{1, 2, 3} {
		l.came(uid, -1)
	}
	var uids []uint32
	for _, use := range l.users() {
		uids = append(uids, use.UID)
	}
	if fmt.Sprint(uids) != "[2 3 4]" {
		t.Errorf("users are %v", uids)
	}
}
