package main

import (
	"errors"
	"io"
	"log"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
	"tpmkey.example/internal/ioctl"
	"tpmkey.example/rm"
	"tpmkey.example/tpms"
)

// FuzzIoctl: whatever somebody who is not root asks of an open node with whatever bytes, the answer is as long as the number says, or an errno, and the state is no
// wider than before.
func FuzzIoctl(f *testing.F) {
	for number := range ioctls {
		f.Add(number, []byte("use\x00"))
	}
	f.Add(tpms.IocNarrow, []byte("profile mine from use: less\ndeny TPM2_Sign: none\n\x00"))
	f.Add(tpms.IocSetChip, []byte{0xFF, 0xFF, 0xFF, 0xFF})
	f.Add(uint32(0x5401), []byte{})
	noChip := rm.Config{Open: func() (rm.Chip, error) { return nil, net.ErrClosed }}
	s := newServer(&chips{named: []rm.Config{noChip}}, everybody(), log.New(io.Discard, "", 0))
	f.Fuzz(func(t *testing.T, number uint32, argument []byte) {
		who := &cuse.Request{Caller: cuse.Caller{UID: 1000, TID: int32(os.Getpid())}}
		file, err := (&node{server: s, name: defaultNode}).Open(who, unix.O_RDWR, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer file.Release()
		o := file.(*opened)
		before := o.client.granted()
		answer, err := file.Ioctl(who, number, argument)
		var errno unix.Errno
		if err != nil && !errors.As(err, &errno) || err == nil && len(answer) > ioctl.Size(number) {
			t.Errorf("ioctl 0x%x: %d bytes, %v", number, len(answer), err)
		}
		after := o.client.granted()
		if after.chip != before.chip || after.locality != before.locality || after.filter.Profiles() < before.filter.Profiles() {
			t.Errorf("ioctl 0x%x: %+v became %+v", number, before, after)
		}
	})
}
