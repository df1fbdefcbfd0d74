package rows_test

import (
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/committed/rows"
)

func Example() {
	schema, err := rows.ParseSchema([]byte(`[
		{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
		{"name": "at", "type": "TIMESTAMP"},
		{"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "price", "type": "FLOAT"}]}
	]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	enc, err := rows.Compile(schema)
	if err != nil {
		fmt.Println(err)
		return
	}

	row, err := enc.Append(nil, []byte(`{"id": 7, "at": "1970-01-01T00:00:01Z", "items": [{"price": 0.5}]}`))
	fmt.Printf("%x %v\n", row, err)

	_, err = enc.Append(row[:0], []byte(`{"id": 8, "items": [{"price": 1}, {"price": "free"}]}`))
	var e *rows.Error
	if errors.As(err, &e) {
		e.Line = 2 // whoever reads lines knows it
		fmt.Println(e)
	}
	// Output:
	// 080710c0843d1a0909000000000000e03f <nil>
	// line 2: items[1].price: wrong type: want FLOAT, got a string that is no number: "free"
}
