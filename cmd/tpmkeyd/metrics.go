package main

import (
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// metrics tell a monitoring system who does what (OpenMetrics). Which user does what is nobody's business but root's, so their socket is root's alone.
type metrics struct {
	usage *ledger
	chips *chips
}

// What is told, and by what it is told apart.
var (
	commandsTotal = prometheus.NewDesc("tpmkeyd_commands_total", "Commands that had a turn at a chip.", []string{"command"}, nil)
	turnsTotal    = prometheus.NewDesc("tpmkeyd_command_turn_seconds_total", "Time that turns of a command took.", []string{"command"}, nil)
	deniedTotal   = prometheus.NewDesc("tpmkeyd_denied_total", "Commands that were refused, and by which rule.", []string{"command", "rule"}, nil)
	chipsThere    = prometheus.NewDesc("tpmkeyd_chips", "Chips that are there.", nil, nil)

	userCommands = prometheus.NewDesc("tpmkeyd_user_commands_total", "Commands of a user that had a turn.", []string{"uid"}, nil)
	userDenied   = prometheus.NewDesc("tpmkeyd_user_denied_total", "Commands of a user that were refused.", []string{"uid"}, nil)
	userWaited   = prometheus.NewDesc("tpmkeyd_user_wait_seconds_total", "Time that commands of a user waited for their turns.", []string{"uid"}, nil)
	userRan      = prometheus.NewDesc("tpmkeyd_user_turn_seconds_total", "Time that turns of a user took.", []string{"uid"}, nil)
	userClients  = prometheus.NewDesc("tpmkeyd_user_clients", "Clients of a user that are here now.", []string{"uid"}, nil)
	userQueue    = prometheus.NewDesc("tpmkeyd_user_queue", "Commands of a user that wait or run now.", []string{"uid"}, nil)
)

// Describe is prometheus.Collector's.
func (m metrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect is prometheus.Collector's.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	tell := func(what *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(what, kind, value, labels...)
	}
	tell(chipsThere, prometheus.GaugeValue, float64(len(m.chips.numbers())))
	for _, u := range m.usage.users() {
		uid := fmt.Sprint(u.UID)
		tell(userCommands, prometheus.CounterValue, float64(u.Commands), uid)
		tell(userDenied, prometheus.CounterValue, float64(u.Denied), uid)
		tell(userWaited, prometheus.CounterValue, u.Waited.Seconds(), uid)
		tell(userRan, prometheus.CounterValue, u.Ran.Seconds(), uid)
		tell(userClients, prometheus.GaugeValue, float64(u.Clients), uid)
		tell(userQueue, prometheus.GaugeValue, float64(u.Queue), uid)
	}
	for _, c := range m.usage.byCommand() {
		tell(commandsTotal, prometheus.CounterValue, float64(c.Count), c.Name)
		tell(turnsTotal, prometheus.CounterValue, c.Ran.Seconds(), c.Name)
	}
	m.usage.mu.Lock()
	denied := maps.Clone(m.usage.denied)
	m.usage.mu.Unlock()
	for d, n := range denied {
		tell(deniedTotal, prometheus.CounterValue, float64(n), d.command, d.rule)
	}
}

// serveMetrics answers GET /metrics until the listener is closed.
func (s *server) serveMetrics(l *net.UnixListener) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics{s.usage, s.chips}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	web := &http.Server{Handler: mux, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14, ErrorLog: log.New(s.log.Writer(), s.log.Prefix(), 0)}
	return web.Serve(rootsListener{l})
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
		peer, err := socketOption(conn, func(fd int) (*unix.Ucred, error) { return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED) })
		if err == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid()) {
			return conn, nil
		}
		conn.Close()
	}
}
