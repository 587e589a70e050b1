"""Files into image sets: adapters read collections, one store holds their pixels."""
