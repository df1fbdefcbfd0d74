// Package interop holds tests with clients that are not Go programs. They are run where Node.js is, by .ci/run.
package interop
