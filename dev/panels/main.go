// Command panels evaluates expressions over scrapes of one operator, with the storage and the engine of Prometheus.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// input is read from standard input. Times are in milliseconds.
type input struct {
	// Labels are added to every sample, as those of a target.
	Labels  map[string]string `json:"labels"`
	Scrapes []struct {
		Time int64  `json:"time"`
		Text string `json:"text"`
	} `json:"scrapes"`
	Start       int64    `json:"start"`
	End         int64    `json:"end"`
	Step        int64    `json:"step"`
	Expressions []string `json:"expressions"`
}

// series is a line of a panel.
type series struct {
	Labels map[string]string `json:"labels"`
	Points [][2]float64      `json:"points"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "panels")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	db, err := tsdb.Open(folder, slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, scrape := range in.Scrapes {
		if err := store(db, scrape.Text, scrape.Time, in.Labels); err != nil {
			return err
		}
	}
	results, err := evaluate(db, in)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func store(db *tsdb.DB, text string, at int64, target map[string]string) error {
	parser := textparse.NewOpenMetricsParser([]byte(text), labels.NewSymbolTable())
	appender := db.Appender(context.Background())
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return appender.Commit()
		}
		if err != nil {
			return errors.Join(err, appender.Rollback())
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var found labels.Labels
		parser.Labels(&found)
		all := labels.NewBuilder(found)
		for name, value := range target {
			all.Set(name, value)
		}
		_, _, value := parser.Series()
		if _, err := appender.Append(0, all.Labels(), at, value); err != nil {
			return errors.Join(err, appender.Rollback())
		}
	}
}

func evaluate(db *tsdb.DB, in input) ([][]series, error) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute})
	ctx := context.Background()
	results := make([][]series, 0, len(in.Expressions))
	for _, expression := range in.Expressions {
		query, err := engine.NewRangeQuery(
			ctx, db, nil, expression, time.UnixMilli(in.Start), time.UnixMilli(in.End), time.Duration(in.Step)*time.Millisecond,
		)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
		matrix, err := query.Exec(ctx).Matrix()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
		lines := make([]series, 0, len(matrix))
		for _, found := range matrix {
			line := series{Labels: found.Metric.Map()}
			for _, point := range found.Floats {
				// JSON has no NaN, which is what a quantile of nothing is.
				if !math.IsNaN(point.F) && !math.IsInf(point.F, 0) {
					line.Points = append(line.Points, [2]float64{float64(point.T), point.F})
				}
			}
			if len(line.Points) > 0 {
				lines = append(lines, line)
			}
		}
		query.Close()
		results = append(results, lines)
	}
	return results, nil
}
