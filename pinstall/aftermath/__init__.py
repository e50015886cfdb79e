"""What happens after pip: a rescue, an explanation, a confirmation, and the records of builds."""
