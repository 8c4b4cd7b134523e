package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// patience is how long a request may take to come, and its answer to be read.
const patience = 10 * time.Second

// handedSocket is the one that systemd has handed to this very process (sd_listen_fds(3)); nil: none.
func handedSocket() (*net.UnixListener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	if n := os.Getenv("LISTEN_FDS"); n != "1" {
		return nil, fmt.Errorf("systemd hands over %s sockets, not one; use the units that come with tpmkeyd", n)
	}
	const firstHanded = 3
	file := os.NewFile(firstHanded, "metrics")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("the socket of systemd: %w", err)
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("the socket of systemd is no Unix stream socket; use the units that come with tpmkeyd")
	}
	unixListener.SetUnlinkOnClose(false) // it is systemd's
	return unixListener, nil
}

// ServeHTTP answers GET /metrics.
func (m metrics) ServeHTTP(to http.ResponseWriter, request *http.Request) {
	from, err := m.gatherer()
	if err != nil {
		http.Error(to, err.Error(), http.StatusServiceUnavailable)
		return
	}
	promhttp.HandlerFor(from, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(to, request)
}

// serve answers until nobody has asked for a while.
func serve(l *net.UnixListener, m metrics, idle time.Duration) error {
	mux := http.NewServeMux()
	web := &http.Server{Handler: mux, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14, ErrorLog: log.New(os.Stderr, "tpmkeyd-metrics: ", 0)}
	left := make(chan error, 1)
	leave := time.AfterFunc(idle, func() { left <- web.Shutdown(context.Background()) })
	defer leave.Stop()
	mux.HandleFunc("GET /metrics", func(to http.ResponseWriter, request *http.Request) {
		leave.Reset(idle)
		m.ServeHTTP(to, request)
	})
	if err := web.Serve(rootsListener{l}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-left
}

// rootsListener lets nobody in but root and who runs the service.
type rootsListener struct{ *net.UnixListener }

// Accept is net.Listener's.
func (l rootsListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(conn); err == nil && (uid == 0 || uid == os.Geteuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

// peer is the uid of who connected.
func peer(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	err1 := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err1, err); err != nil {
		return 0, err
	}
	return int(who.Uid), nil
}
