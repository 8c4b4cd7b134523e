package provider

import (
	"bufio"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// Further variables of the job that changes PINs.
const (
	chipVariable   = "TPMKEY_TEST_CHIP"
	numberVariable = "TPMKEY_TEST_NUMBER" // of the PIN that the key has
)

func pinOf(number int) []byte { return fmt.Append(nil, "PIN ", number) }

// changePINs gives the key one PIN after the other until the process is killed, and says before each change which one comes next.
func changePINs(dir string) (func() error, error) {
	number, err := strconv.Atoi(os.Getenv(numberVariable))
	if err != nil {
		return nil, err
	}
	p := Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open("broker:" + os.Getenv(chipVariable)) })
	k, err := p.Key("web")
	return func() error {
		for ; err == nil; number++ {
			fmt.Println(number + 1)
			if err = k.GivePIN(pinOf(number)); err == nil {
				k, err = p.ChangePIN(k, pinOf(number+1))
			}
		}
		return err
	}, err
}

// However often a process is killed while it changes a PIN, exactly one of the old and the new one opens the key.
func TestKilledWhileChangingPIN(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	socket := strings.TrimPrefix(tpmtest.Serve(t, chip), "unix:")
	dir, number := t.TempDir(), 1
	p := Open([]string{dir}, func() (transport.TPMCloser, error) { return raw{chip}, nil })
	_, err := p.Create("web", Template{PIN: pinOf(number)})
	check(t, err)
	changed := 0
	for range 10 {
		p.Close()
		empty(t, chip)
		next := killedWhileChanging(t, dir, socket, number)
		empty(t, chip)
		changed += next - number
		number = opens(t, p, next)
	}
	if changed < 10 {
		t.Errorf("the PIN was changed %d times only", changed)
	}
}

// killedWhileChanging lets a process change PINs for a while, and gives the number of the last that it was about to set.
func killedWhileChanging(t *testing.T, dir, socket string, number int) (next int) {
	t.Helper()
	c := again(t, "change PINs", dir)
	c.Env = append(c.Env, chipVariable+"="+socket, numberVariable+"="+strconv.Itoa(number))
	c.SysProcAttr.Pdeathsig = 0
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	check(t, err)
	check(t, c.Start())
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	check(t, err)
	time.Sleep(rand.N(200 * time.Millisecond))
	c.Process.Kill()
	rest, err := io.ReadAll(said)
	check(t, err)
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		t.Errorf("it ended by itself: %v", err)
	}
	lines := strings.Fields(line + string(rest))
	next, err = strconv.Atoi(lines[len(lines)-1])
	check(t, err)
	return next
}

// opens gives the number of the PIN that opens the key: the one that was about to be set, or the one before, and not both.
func opens(t *testing.T, p *Provider, next int) (number int) {
	t.Helper()
	for _, n := range []int{next - 1, next} {
		k, err := p.Key("web")
		check(t, err)
		check(t, k.GivePIN(pinOf(n)))
		digest := make([]byte, 32)
		switch _, err := k.SignPKCS1v15(crypto.SHA256, digest); {
		case err == nil && number == 0:
			number = n
		case err == nil:
			t.Errorf("PIN %d opens the key, and so does PIN %d", number, n)
		case !errors.Is(err, ErrWrongPIN):
			t.Errorf("PIN %d: %v", n, err)
		}
	}
	if number == 0 {
		t.Fatalf("neither PIN %d nor PIN %d opens the key", next-1, next)
	}
	return number
}

// raw is a chip without a manager, which a provider may close as often as it likes.
type raw struct{ tpmtest.Sender }

func (raw) Close() error { return nil }

// empty flushes what a killed process has left in a raw chip.
func empty(t *testing.T, chip *tpmtest.Conn) {
	t.Helper()
	handles, err := tpmtest.Leaks(chip)
	check(t, err)
	for _, h := range handles {
		(&connection{tpm: raw{chip}}).flush(h)
	}
}
