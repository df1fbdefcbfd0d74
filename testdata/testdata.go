// Package testdata holds real, freely available data sets as compressed NDJSON (one JSON object a
// line), each beside its table schema in BigQuery's own JSON format. README.md says where each
// comes from and under which terms, make.py makes them again.
//
// Open a file with FS.Open("flights/flights-2013-01.ndjson.gz") and read it through compress/gzip;
// pass the bytes of "flights/schema.json" to rows.ParseSchema.
//
// The go command leaves a folder of this name out of ./..., so its test is run by
// go test ./testdata.
package testdata

import "embed"

// FS holds flights (336,776 rows in twelve files, one a month), earthquakes (1,707 nested rows) and
// movies (3,201 rows of untidy types). Safe for concurrent use.
//
//go:embed flights/* earthquakes/* movies/*
var FS embed.FS
