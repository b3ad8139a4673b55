// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"strings"
	"text/template"
)

//go:embed plot.svg.tmpl
var plotTemplate string

// panel is one small diagram, both of whose axes are logarithmic.
type panel struct {
	Title  string
	X, Y   int // of its upper left corner
	Points []point
	Line   string // through the points
}

// point is one measured value, and where it is drawn.
type point struct {
	X, Y         float64
	Size, Figure string
}

const (
	panelWidth, panelHeight = 340, 200
	plotMargin              = 50
)

// drawSizes draws how cost grows.
func drawSizes(file string, sizes []size) error {
	panels := []panel{
		newPanel(0, "cold start, seconds", sizes, func(z size) float64 { return z.cold.took.Seconds() }),
		newPanel(1, "cold start, seconds of CPU", sizes, func(z size) float64 { return z.cold.cpu }),
		newPanel(2, "peak memory, MiB", sizes, func(z size) float64 { return mebi(max(z.cold.peak, z.steady.peak)) }),
		newPanel(3, "an unchanged scan, milliseconds of CPU", sizes, func(z size) float64 { return 1000 * z.steady.cpu / z.steady.scans }),
	}
	drawing, err := template.New("plot").Parse(plotTemplate)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = drawing.Execute(&text, map[string]any{
		"Width": 2*panelWidth + 3*plotMargin, "Height": 2*panelHeight + 4*plotMargin,
		"PanelWidth": panelWidth, "PanelHeight": panelHeight,
		"Machine": machine(), "Panels": panels,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}

func newPanel(index int, title string, sizes []size, value func(size) float64) panel {
	p := panel{
		Title: title,
		X:     plotMargin + index%2*(panelWidth+plotMargin),
		Y:     plotMargin*3/2 + index/2*(panelHeight+plotMargin*3/2),
	}
	first, last := float64(sizes[0].pairs), float64(sizes[len(sizes)-1].pairs)
	low, high := math.Inf(1), 0.0
	for _, z := range sizes {
		low, high = min(low, value(z)), max(high, value(z))
	}
	low, high = low/1.5, high*1.5
	var line []string
	for _, z := range sizes {
		at := point{
			X:      panelWidth * (0.06 + 0.86*fraction(float64(z.pairs), first, last)),
			Y:      panelHeight * (1 - 0.82*fraction(value(z), low, high)), // below the title
			Size:   fmt.Sprint(z.pairs),
			Figure: fmt.Sprintf("%.3g", value(z)),
		}
		p.Points = append(p.Points, at)
		line = append(line, fmt.Sprintf("%.1f,%.1f", at.X, at.Y))
	}
	p.Line = strings.Join(line, " ")
	return p
}

// fraction returns where a value is between two others, on a logarithmic scale.
func fraction(value, low, high float64) float64 {
	if high <= low {
		return 0.5
	}
	return math.Log(value/low) / math.Log(high/low)
}
