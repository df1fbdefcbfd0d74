package rows

// Option changes what Compile makes of a schema.
type Option func(*options)

type options struct {
	ignoreUnknown bool
	jsonText      bool
	defaults      bool
}

// IgnoreUnknownFields makes Append skip fields that the table has no column for, at any depth. Their
// values must still be JSON. Encoder.Ignored counts them.
func IgnoreUnknownFields() Option { return func(o *options) { o.ignoreUnknown = true } }

// JSONAsText makes a JSON column take only a string whose content is a JSON document, as
// JsonStreamWriter does; {"j":"[1,2]"} is an array then. Without it any JSON value stands for itself,
// as in load jobs; {"j":"[1,2]"} is a string then.
func JSONAsText() Option { return func(o *options) { o.jsonText = true } }

// DefaultValues lets a row leave out a REQUIRED column that has a default value expression. It is for
// rows that are sent with missing values interpreted as DEFAULT_VALUE (case 64); then null, which can't
// be told from a column that is left out, stands for the default too where the column is NULLABLE.
func DefaultValues() Option { return func(o *options) { o.defaults = true } }
