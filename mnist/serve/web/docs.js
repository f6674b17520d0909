"use strict";

// Without validatorUrl: null, Swagger would ask a validator on the web about the schema.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null });
