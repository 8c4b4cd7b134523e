package docs

import (
	"regexp"
	"strings"
	"testing"
)

// The page on the device has every call and every error of the header, and no others.
func TestPageOfDevice(t *testing.T) {
	header := read(t, "../tpms/tpms.h")
	text := read(t, "tpms.md")
	calls := regexp.MustCompile(`#define (TPMS_IOC_\w+) (_IO[RW]?)\(0xBE, (\d+)(?:, ([^)]+))?\)( /\* root)?`).FindAllStringSubmatch(header, -1)
	for _, m := range calls {
		direction := map[string]string{"_IOR": "`" + m[4] + "`, out", "_IOW": "`" + m[4] + "`, in", "_IO": "none"}[m[2]]
		who := map[bool]string{true: "root", false: "anybody"}[m[5] != ""]
		if row := "| `" + m[1] + "` | " + m[3] + " | " + direction + " | " + who + " |"; !strings.Contains(text, row) {
			t.Errorf("the page has no row %s", row)
		}
	}
	if n := strings.Count(text, "\n| `TPMS_IOC_"); n != len(calls) || n == 0 {
		t.Errorf("%d rows for %d calls", n, len(calls))
	}
	for _, m := range regexp.MustCompile(`(?m)^ \* (E[A-Z]+) `).FindAllStringSubmatch(header, -1) {
		if !strings.Contains(text, "\n| `"+m[1]+"` | ") {
			t.Errorf("the page does not tell of %s", m[1])
		}
	}
}
