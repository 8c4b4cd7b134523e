package rm

import (
	"encoding/binary"
	"testing"
)

// One who has many keys makes the manager forget his own, not others', nor what is everybody's.
func TestWhosePasswordsAreForgotten(t *testing.T) {
	a := newAuthMemory()
	n := uint64(0)
	key := func(whose uint32) (blob [32]byte) {
		n++
		binary.BigEndian.PutUint64(blob[:], n)
		a.learn(blob, []byte("right"), whose)
		return blob
	}
	srk, his, attackers := key(root), key(1), key(1000)
	a.learn(srk, []byte("right"), 1000) // it stays everybody's
	for range 3 * maxAuthMemory {
		key(1000)
	}
	if len(a.known) > maxAuthMemory {
		t.Errorf("%d passwords are remembered", len(a.known))
	}
	if !a.knows(srk, []byte("right")) || !a.knows(his, []byte("right")) || a.knows(attackers, []byte("right")) {
		t.Error("the wrong ones are forgotten")
	}
	if a.unlearn(his, []byte("a guess")); !a.knows(his, []byte("right")) || a.knows(his, []byte("a guess")) {
		t.Error("a guess tells what is right")
	}
	if a.unlearn(his, []byte("right")); a.knows(his, []byte("right")) {
		t.Error("a password that failed is still right")
	}
}
