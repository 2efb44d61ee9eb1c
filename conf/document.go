package conf

// Document is a TOML text as a tree, with the line of every key. It is for the other TOML files of the project, whose
// keys are their own: syntax errors, lines and the form of errors are those of the configuration.
type Document struct {
	Tree map[string]any
	file string
	idx  *index
}

// ReadDocument reads TOML text; file is its name in errors. All separate syntax errors are reported; the tree holds the
// rest of the text.
func ReadDocument(file string, text []byte) (*Document, Errors) {
	tree, idx, errs := parseTree(file, string(text))
	return &Document{Tree: tree, file: file, idx: idx}, errs
}

// Error returns an error at path, such as "stream[1].size", with the line of the key or of the nearest table around it.
func (d *Document) Error(path, message string) Error {
	return Error{File: d.file, Line: d.idx.line(path), Key: path, Message: message}
}

// Sorted returns the errors in the order of their lines.
func (e Errors) Sorted() Errors {
	e.sort()
	return e
}

// Describe describes a TOML value for a message: "the string "x"", "an array", "17".
func Describe(v any) string { return describe(v) }

// Suggest returns ": did you mean …", or intro with the list of known names.
func Suggest(name string, known []string, intro string) string { return suggest(name, known, intro) }
