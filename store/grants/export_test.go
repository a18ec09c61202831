package grants

// Rights are what the package tells an operator to grant.
var Rights = rights
