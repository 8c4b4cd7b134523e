package tpmtest

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const recorded = "# two exchanges\n> 8001\n< 80\n\n> 8002\n< 81\n"

// replay runs body on a replayed dialogue and returns how that failed.
func replay(t *testing.T, text string, body func(tpm Sender)) string {
	t.Helper()
	if Update() {
		t.Skip("-update records")
	}
	file := filepath.Join(t.TempDir(), "dialogue")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return try(t, func(t testing.TB) { body(Dialogue(t, file, nil)) })
}

func TestDialogue(t *testing.T) {
	both := func(tpm Sender) {
		tpm.Send([]byte{0x80, 0x01})
		tpm.Send([]byte{0x80, 0x02})
	}
	for _, row := range []struct {
		name, text string
		body       func(tpm Sender)
		want       string // part of the failure, "" for none
	}{
		{"as recorded", recorded, both, ""},
		{"another command", recorded, func(tpm Sender) { tpm.Send([]byte{0x80, 0x02}) }, "another command"},
		{"too few", recorded, func(tpm Sender) { tpm.Send([]byte{0x80, 0x01}) }, "1 commands never came"},
		{"too many", recorded, func(tpm Sender) { both(tpm); both(tpm) }, "after the last"},
		{"empty file", "# nothing\n", both, "0 whole exchanges"},
		{"no response", "> 8001\n", both, "0 whole exchanges"},
		{"response first", "< 80\n> 8001\n", both, "do not alternate"},
		{"two commands", "> 8001\n> 8001\n", both, "do not alternate"},
		{"no command in line", "> \n< 80\n", both, "no message"},
		{"not hexadecimal", "> 80xx\n< 80\n", both, "invalid byte"},
		{"other line", "8001\n", both, "neither command nor response"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := replay(t, row.text, row.body)
			if row.want == "" && got != "" || !strings.Contains(got, row.want) {
				t.Errorf("failure %q, want %q", got, row.want)
			}
		})
	}
}

func TestDialogueOfMissingFile(t *testing.T) {
	if Update() {
		t.Skip("-update records")
	}
	got := try(t, func(t testing.TB) { Dialogue(t, "testdata/none", nil) })
	if !strings.Contains(got, "-update") {
		t.Errorf("failure %q does not say how to record", got)
	}
}

func TestRenewedDialogueReplays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "dialogue")
	answer := Func(func(command []byte) ([]byte, error) { return append(command, 0xff), nil })
	if got := try(t, func(t testing.TB) { renew(t, file, answer).Send(getRandom) }); got != "" {
		t.Fatal(got)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	exchanges, err := parseDialogue(text)
	want := []Exchange{{Command: getRandom, Response: append(getRandom[:12:12], 0xff)}}
	if err != nil || !reflect.DeepEqual(exchanges, want) {
		t.Errorf("%v, error %v", exchanges, err)
	}
}

// FuzzParseDialogue: what parses is written back and parses to the same.
func FuzzParseDialogue(f *testing.F) {
	f.Add([]byte(recorded))
	f.Add([]byte("> 8001\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		exchanges, err := parseDialogue(text)
		if err != nil {
			return
		}
		again, err := parseDialogue(formatDialogue(exchanges))
		if err != nil || !reflect.DeepEqual(again, exchanges) {
			t.Errorf("%v became %v, error %v", exchanges, again, err)
		}
	})
}
