package wire

import (
	"strings"
	"testing"
)

// The form of successful responses: the handle and the authorization area, as the command asks for them.
func TestCheckAnswer(t *testing.T) {
	const (
		session  = "8001 0000002b 00000176 40000007 40000007 0010 00000000000000000000000000000000 0000 00 0010 000b"
		sequence = "8001 0000000e 00000186 0000 000b"
		random   = "8002 0000001d 0000017b 0000000d 02000000 0002 aabb 41 0002 ccdd 0010"
		answer   = "8002 00000000 00000000"
	)
	for _, row := range []struct {
		name, command, response string
		ok                      bool
	}{
		{"an HMAC session", session, "8001 00000010 00000000 02000000 0000", true},
		{"a policy session", session, "8001 00000010 00000000 03000001 0000", true},
		{"an object where a session was started", session, "8001 00000010 00000000 80000000 0000", false},
		{"no handle", session, "8001 0000000a 00000000", false},
		{"half a handle", session, "8001 0000000c 00000000 0200", false},
		{"an object", sequence, "8001 0000000e 00000000 80000001", true},
		{"a session where an object was made", sequence, "8001 0000000e 00000000 02000001", false},
		{"a persistent handle", sequence, "8001 0000000e 00000000 81000001", false},

		{"with a session", random, answer + "00000004 0002aabb 0002ccdd 01 0002eeff", true},
		{"no authorization", random, answer + "00000004 0002aabb", false},
		{"two for one", random, answer + "00000004 0002aabb 0002ccdd 01 0002eeff 0002ccdd 01 0002eeff", false},
		{"half of one", random, answer + "00000004 0002aabb 0002ccdd 01 0002ee", false},
		{"parameters longer than the response", random, answer + "00001004 0002aabb 0002ccdd 01 0002eeff", false},
		{"parameters as long as all the memory", random, answer + "ffffffff 0002aabb 0002ccdd 01 0002eeff", false},
		{"no size of the parameters", random, answer, false},
		{"a nonce of 65 bytes", random, answer + "00000000 0041" + strings.Repeat("00", 65) + "01 0000", false},
	} {
		c, err := Parse(unhex(t, row.command))
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if err := c.CheckAnswer(unhex(t, row.response)); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
