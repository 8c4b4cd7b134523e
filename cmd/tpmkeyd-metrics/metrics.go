package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/sys/unix"

	"tpmkey.example/internal/control"
)

// metrics are what the tpmkeyd at a control socket tells. Which user does what is nobody's business but root's.
type metrics struct{ control string }

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

// collector tells what tpmkeyd has answered.
type collector struct{ *control.Usage }

// Describe is prometheus.Collector's.
func (c collector) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect is prometheus.Collector's.
func (c collector) Collect(to chan<- prometheus.Metric) {
	tell := func(what *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(what, kind, value, labels...)
	}
	tell(chipsThere, prometheus.GaugeValue, float64(len(c.Chips)))
	for _, u := range c.Users {
		uid := fmt.Sprint(u.UID)
		tell(userCommands, prometheus.CounterValue, float64(u.Commands), uid)
		tell(userDenied, prometheus.CounterValue, float64(u.Denied), uid)
		tell(userWaited, prometheus.CounterValue, u.Waited.Seconds(), uid)
		tell(userRan, prometheus.CounterValue, u.Ran.Seconds(), uid)
		tell(userClients, prometheus.GaugeValue, float64(u.Clients), uid)
		tell(userQueue, prometheus.GaugeValue, float64(u.Queue), uid)
	}
	for _, u := range c.Commands {
		tell(commandsTotal, prometheus.CounterValue, float64(u.Count), u.Name)
		tell(turnsTotal, prometheus.CounterValue, u.Ran.Seconds(), u.Name)
	}
	for _, u := range c.Denied {
		tell(deniedTotal, prometheus.CounterValue, float64(u.Count), u.Command, u.Rule)
	}
}

// gatherer asks tpmkeyd, and gives what it tells together with what the kernel tells of its process.
func (m metrics) gatherer() (prometheus.Gatherer, error) {
	u, err := control.AskUsage(m.control)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask tpmkeyd: %w: only root sees who uses the TPM; put sudo before it", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("ask tpmkeyd: %w; tpmkeyd does not run there: sudo systemctl start tpmkeyd", err)
	case err != nil:
		return nil, fmt.Errorf("ask tpmkeyd: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{u}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{PidFn: func() (int, error) { return u.PID, nil }}))
	return registry, nil
}

// print writes them as text.
func (m metrics) print(to io.Writer) error {
	from, err := m.gatherer()
	if err != nil {
		return err
	}
	families, err := from.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(to, family); err != nil {
			return err
		}
	}
	_, err = expfmt.FinalizeOpenMetrics(to)
	return err
}
