// Package tableschema gets a table's schema from the service and shows it: as BigQuery's JSON (JSON), and the writer
// schema made of it in the syntax of .proto files (Proto). Get comes first.
package tableschema
