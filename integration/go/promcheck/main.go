// promcheck reads a Prometheus text exposition on stdin as "promtool check metrics" does, with the same parser and the
// same linter: exit status 1 and the reason when it cannot be parsed, else one line per complaint of the linter
// ("metric: text") and exit status 0. Which complaints are fair is for the caller to say.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	page, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = check(page)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(page []byte) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(page)); err != nil {
		return err
	}
	problems, err := promlint.New(bytes.NewReader(page)).Lint()
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Printf("%s: %s\n", p.Metric, p.Text)
	}
	return nil
}
