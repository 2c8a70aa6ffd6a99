"""What is on the wire: Avro schemas, topics, typed records, the codec, ids."""
