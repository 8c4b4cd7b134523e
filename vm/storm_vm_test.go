//go:build vm

package vm

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is an act: has many threads wait for one command of a node, and tells what became of them.
func crowd(args []string) {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	var threads sync.WaitGroup
	threads.Go(func() { unix.Write(fd, getRandom()) })
	os.Stdin.Read(make([]byte, 1)) // the command runs
	said := make(chan string, crowdSize)
	for range cap(said) {
		threads.Go(func() {
			n, err := unix.Read(fd, make([]byte, 100))
			said <- fmt.Sprint(n, err)
		})
	}
	for range cap(said) - mostReaders {
		fmt.Println(<-said)
	}
	threads.Wait()
	for range mostReaders {
		fmt.Println(<-said)
	}
}

const (
	crowdSize   = 100
	mostReaders = 8 // that tpmkeyd lets wait
	refused     = "-1 device or resource busy"
)

func init() { acts["crowd"] = crowd }

// A crowd that waits in a read of one descriptor is kept small.
func TestCrowdOfReaders(t *testing.T) {
	chip, path, start := serveSlowChip(t)
	start()
	c := as(t, user).again("crowd", path)
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer time.AfterFunc(2*time.Minute, func() { c.Process.Kill() }).Stop()
	await(t, chip.came, "a command")
	in.Close()
	said := map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said[lines.Text()]++; said[refused] == crowdSize-mostReaders {
			chip.go_ <- struct{}{}
			said[refused]++ // once
		}
	}
	if said[refused] != crowdSize-mostReaders+1 || said["28 <nil>"] != 1 || said["0 <nil>"] != mostReaders-1 {
		t.Errorf("they were told: %v", said)
	}
}
