package api

// OpenAPIDocument is what the server serves.
var OpenAPIDocument = openapiDocument
